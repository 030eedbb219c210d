"""Small parts that everything else stands on: topics, delays, receipts, the inbox of an interface."""
