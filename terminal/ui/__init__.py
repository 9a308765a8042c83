"""Screens, receipts and locales; draws into a framebuffer and knows no hardware."""
