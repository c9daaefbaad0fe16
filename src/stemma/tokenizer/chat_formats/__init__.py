"""The published chat formats, a file per kind: the Jinja text that writes one, and the way back from what it wrote."""
