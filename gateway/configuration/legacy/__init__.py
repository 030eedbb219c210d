"""Reads the files of versions before 3.0: INI configurations, and maps with a line for each word or in JSON."""
