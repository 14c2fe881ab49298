"""The funnel: every door's requests are admitted, queued and answered here."""
