"""Pages with scores and figures, each in one file, and tables of predictions.

The look of a page is in `templates`, figures are in `figures`.

>>> from sts.reports.page import Table, as_html
>>> print(as_html("rate < 4 kHz & clipped"))
<p>rate &lt; 4 kHz &amp; clipped</p>
>>> "<td>yes</td>" in as_html(Table(columns=["cell", "kept"], rows=[["a", True]]))
True
"""
