"""The outbox and its ways out (MQTT, webhooks, SMS) come to live here; they use the ledger only."""
