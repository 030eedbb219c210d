"""Small parts that all other packages use: topics, delays, receipts, the inbox of an interface."""
