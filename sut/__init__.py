"""The chat system under test. Imports nothing from load/ or chaos/."""
