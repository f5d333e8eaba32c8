"""The sources of public recordings and tables, and their verified download.

>>> from sts.archives.sources import find_source, format_size
>>> dandi = find_source("dandi")
>>> dandi.about_files, format_size(dandi.about_bytes), dandi.terms
(4435, '141.9 GB', 'CC-BY-4.0')
"""
