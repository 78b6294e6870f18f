"""A GitHub on the loop-back interface: a real HTTP server, REST and GraphQL, with faults that can be switched on."""
