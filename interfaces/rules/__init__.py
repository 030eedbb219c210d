"""What interfaces that are described in a configuration share: decoding, encoding, converters. Pure."""
