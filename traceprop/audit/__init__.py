"""Evidence in its pure form: canonical JSON, sealed entries, Merkle trees, the audit folder.

Everything that writes evidence stands above: queries and erasures as well as certificates. Nothing
here needs torch or NumPy.
"""
