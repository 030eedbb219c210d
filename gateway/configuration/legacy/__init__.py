"""Reads the files of earlier versions: INI configurations, and maps written a line at a time or in JSON."""
