"""TLS on this machine: a small CA and its certificates, and looking after the certificate that a program uses."""
