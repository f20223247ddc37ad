"""Queries of databases: any driver in, one result out, rows named by their key."""
