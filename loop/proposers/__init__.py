"""What hands in changes: merged pull requests, people, launch options, language models, coding agents. None is believed."""
