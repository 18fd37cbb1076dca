"""HTTP/JSON in front of the services, by Envoy."""
