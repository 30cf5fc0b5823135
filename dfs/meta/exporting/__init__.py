"""What exports withhold from a client, and what it shows to data servers: who may do what, before a request is carried out."""
