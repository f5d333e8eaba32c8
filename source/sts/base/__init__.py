"""What everything else stands on.

The workspace, settings, errors that a user can act on, run folders, files that are whole or not
there, progress, parallel work, the sandbox, and the guard of HDF5 files.

>>> from sts.base.errors import one_of
>>> one_of("smotte", ["smote", "gan"], "method")
Traceback (most recent call last):
sts.base.errors.StsError: unknown method 'smotte': did you mean 'smote'? choose from gan, smote
"""
