"""The viewer: one HTML file in which all cells of a data set can be looked at without a server.

`viewer.html`, `viewer.css` and the modules `*.mjs` are what the browser gets; the Python modules
pack the cells and join all of it.
"""
