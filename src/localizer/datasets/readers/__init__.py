"""Annotation formats, one module each: `sniff` recognizes files of the format, `read` yields what they contain."""
