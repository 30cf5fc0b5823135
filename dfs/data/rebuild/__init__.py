"""The way back of a server that lost its disk or power: from its neighbours' copies to complete in both roles."""
