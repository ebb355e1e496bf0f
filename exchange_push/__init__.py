"""exchange-push: calculates a digital-asset exchange's market data and pushes it, with private events, to clients."""
