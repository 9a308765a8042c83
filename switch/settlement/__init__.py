"""Batches, reconciliation, totals of a day; later coalition clearing. It uses the ledger only."""
