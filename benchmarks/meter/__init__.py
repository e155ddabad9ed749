"""How right the meter is and what it costs: ``make benchmark``.

==============  ==================================================================================================
`trials`        windows over simulated devices of known truth, for ``tests/property/test_windows.py`` as well
`rapl`          RAPL machines of several domains: psys, mirrored dies, wraps
`verdicts`      what trials come to: errors, coverage, width
`costs`         time, memory, processor time and size, in fresh processes and in real time
`peers`         other tools beside it, quoted or run
`table`         the targets, and one table of all
==============  ==================================================================================================
"""
