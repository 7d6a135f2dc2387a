"""The repository that builds use: for each binary name one file of one source, by rule, whatever the order in time."""
