"""Files to what they configure, or to findings that say what is wrong and where."""
