"""The page: what it shows of a running gateway, and what can be done by it. HTTP and access are in `gateway.web`."""
