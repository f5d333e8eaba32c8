"""Scores and figures on self-contained pages, and predictions as a table.

The look of a page is in `templates`, figures are in `figures`.

>>> from sts.reports.blocks import Table
>>> from sts.reports.page import as_html
>>> print(as_html("rate < 4 kHz & clipped"))
<p>rate &lt; 4 kHz &amp; clipped</p>
>>> "<td>yes</td>" in as_html(Table(columns=["cell", "kept"], rows=[["a", True]]))
True
"""
