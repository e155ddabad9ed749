"""A real llama.cpp server with a small real model: no simulation, but a thing that tests start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from joulemark.errors import MissingExtra, WeightsMissing
from joulemark.workloads.backends.options import require
from joulemark.workloads.models import models

__all__ = ["llama"]


@pytest.fixture(scope="module")
def llama() -> Iterator[str]:
    """Its address; it serves SmolLM2 as ``smollm2``, two requests at a time."""
    try:
        weights = models()["smollm2-135m-instruct-q4"].locate()["weights"]
        xllamacpp = require("xllamacpp", package="xllamacpp", extra="llamacpp", purpose="llama.cpp")
    except (WeightsMissing, MissingExtra) as error:
        pytest.skip(str(error))
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(weights)
    parameters.model_alias = {"smollm2"}
    parameters.n_ctx, parameters.n_parallel, parameters.verbosity, parameters.port = 2048, 2, -1, 0
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(parameters)
    yield server.listening_address
    del server
