"""What every interface that is described instead of programmed shares: decoding, encoding, converters."""
