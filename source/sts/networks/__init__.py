"""Four convolutional networks: made, trained, stored, explained.

A study reads as

    bank = ImageBank(store, image_settings, device)
    fitted = fit(Architecture(number=1), bank, labels, train_rows=rows, settings=settings)
    seen = bank.like(fitted.images)
    probabilities = predict(fitted.network, seen, test_rows, temperature=temperature)
    save_model(folder, Model(network=fitted.network, card=card, novelty=novelty))
"""
