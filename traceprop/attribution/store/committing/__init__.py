"""Runs and derived files made part of a store, all of it or nothing."""
