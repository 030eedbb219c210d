"""Home Assistant itself, next to a broker and the gateway: `make ha-test`. Not part of the tests of pytest."""
