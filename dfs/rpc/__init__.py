"""Adapters to the wire: XML-RPC over HTTP, both ends."""
