"""A bot that answers and prints what is said: python bot.py [LINK]. Ctrl-C ends it."""

import sys

import nbchat

client = nbchat.connect(*sys.argv[1:2], name="helper")


@client.on_message  # called for each new message; what it returns is the answer
def answer(message):
    print(message)
    if "deadline" in message.text:
        return "Friday at noon."


client.send("Ask me for the deadline.").wait()  # until it is safely in the chat
client.run()  # stays until Ctrl-C
