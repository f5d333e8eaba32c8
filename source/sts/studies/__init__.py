"""One module a script: the named stages of that study, in order."""
