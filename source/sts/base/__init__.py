"""What all other packages use.

The workspace, settings, errors for the user, run folders, files and stored models, messages and
progress, parallel work, the sandbox, and the guard for HDF5 files.

>>> from sts.base.errors import one_of
>>> one_of("smotte", ["smote", "gan"], "method")
Traceback (most recent call last):
sts.base.errors.StsError: unknown method 'smotte': did you mean 'smote'? choose from gan, smote
"""
