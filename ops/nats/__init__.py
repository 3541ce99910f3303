"""The nats-server of a stack of containers: its configuration, rendered from the table that all servers share."""
