"""Programs that `costs` runs, each in a fresh process; each prints one line of JSON. They import what a user would."""
