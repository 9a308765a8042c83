"""Batches, reconciliation and later coalition clearing come to live here; they use the ledger only."""
