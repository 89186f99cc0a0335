"""Single looks from outside at processes, links, brokers and nodes. Each returns a Proof: whether it is so, in
words.
"""
