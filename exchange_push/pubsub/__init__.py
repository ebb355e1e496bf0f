"""Who hears what: channels, publications, subscribers, and what waits for a slow client. Pure."""
