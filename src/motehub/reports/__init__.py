"""Reports for people: plots in a window or a picture file, and an original system's data.

Drawing happens in a short-lived process of its own, so neither the hub nor a command ever
imports the drawing library (the extra ``motehub[reports]``).
"""
