"""A Locust file of one's own: two kinds of people who chat. See docs/your-own-user.md.

locust -f docs/chat_user.py --headless -u 20 -r 5 -t 60s
"""

import random

from locust import between, tag, task

from load.user import ChatUser


class Talker(ChatUser):
    weight = 3
    wait_time = between(0.5, 2)

    @task(5)
    def say_something(self) -> None:
        conversation = random.choice(self.conversations)
        self.typing(conversation)
        self.send(conversation, f"hello, all {len(conversation.members)}")

    @task
    @tag("question")
    def ask(self) -> None:
        self.send(self.conversations[0], "ping?")


class Answerer(ChatUser):
    @task
    def answer(self) -> None:
        message = self.receive(timeout_s=60)
        self.read(message.conversation)
        if message.text.endswith("?"):
            self.send(message.conversation, "pong")
