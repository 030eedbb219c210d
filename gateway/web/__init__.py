"""The web server of a gateway: who may ask for what, and the answers as HTTP; `gateway.page` has what they contain."""
