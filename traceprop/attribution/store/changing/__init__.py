"""Shards written anew: refreshed, without some samples, or several as one."""
