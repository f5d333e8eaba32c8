"""The commands of the scripts: arguments become settings, a study runs, its results are printed.

>>> from sts.cli.data import main
>>> status = main(["simulate", "--cells", "2", "--out", "somewhere/new", "--dry-run"])
would write 2 of 2 cells to somewhere/new
"""
