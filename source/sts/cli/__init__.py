"""One module a script: arguments become settings, settings one study, results are printed."""
