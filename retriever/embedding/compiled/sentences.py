"""Texts of many kinds, for the calibration of int8 models where the user gives none of their own."""

from __future__ import annotations

_LINES = """
The committee met on Tuesday and put off its decision until the figures for the third quarter are known.
Water boils at a lower temperature in the mountains, because the air presses on it less.
To reset your password, open the settings, choose Security, and follow the link that is sent to you.
She had not expected the letter, and read it twice before she sat down.
def mean(values: list[float]) -> float: return sum(values) / len(values)
What is the difference between a virus and a bacterium?
Patients who received the drug had fewer relapses than those who received a placebo (12 % against 31 %, p < 0.01).
The court held that the contract was void, since one party had been misled about what it signed.
Preheat the oven to 180 degrees, mix flour, butter and sugar, and bake until the edges are golden.
Revenue rose by 4.2 million euros in 2019, mostly through sales in Asia; costs stayed where they were.
SELECT name, COUNT(*) FROM orders WHERE placed >= '2021-01-01' GROUP BY name ORDER BY 2 DESC;
The castle was built in the twelfth century, burnt down in 1634, and was never lived in again.
Error E1234: the connection to 10.0.0.7 was refused. Check that the service runs and listens on port 8080.
Photosynthesis turns carbon dioxide and water into sugar and oxygen, with light as the source of energy.
How long does it take to fly from Madrid to Buenos Aires?
The goalkeeper saved two penalties, and the home side won in front of sixty thousand people.
Mutations in this gene are found in about one in five tumours, yet their role in metastasis is unclear.
Bitte senden Sie uns das ausgefüllte Formular bis Ende des Monats zurück.
La bibliothèque est fermée le lundi, mais la salle de lecture reste ouverte aux étudiants.
El tren de las ocho sale con veinte minutos de retraso por una avería en la vía.
春天来了,公园里的樱花都开了,很多人带着孩子去拍照。
この製品の保証期間は購入日から一年間です。
Поезд прибывает на третью платформу через десять минут.
A prime number has no divisors but one and itself; there are infinitely many of them, as Euclid showed.
The update fixes a leak of memory that showed when many small files were opened one after another.
Interest rates were raised for the fifth time in a row to bring inflation back to two per cent.
Whales sing, and their songs change from year to year as one group learns from another.
Is it safe to take ibuprofen together with aspirin?
Install the package with pip, then import it and call the function load() with the path of your file.
The poem has fourteen lines, and the turn comes after the eighth.
Each employee has thirty days of leave a year, of which ten may be carried over to the next.
We trained the model for three epochs with a learning rate of 2e-5 and a batch size of 64.
The river floods the plain every spring, and the mud it leaves behind makes the soil rich.
https://example.org/docs/v2/index.html?lang=en#install
An electron that absorbs a photon of the right energy moves to a higher level, and falls back later.
The museum shows four hundred paintings, among them a self-portrait that was long thought lost.
Please find attached the minutes of our last meeting and the agenda for the next one.
Vaccination lowered the number of cases among children below five by nearly two thirds.
If the queue is empty, pop() raises IndexError; use get(timeout=5) to wait for an item instead.
The bridge carries two lanes of traffic and a railway, and is painted anew every seven years.
Oil prices fell after the two countries agreed to raise production from June on.
He tuned the violin, waited for silence, and began with the slow movement.
Insulin lets cells take up glucose from the blood; without it the level of sugar rises.
best running shoes for flat feet
The tenant pays the rent in advance, by the third working day of each month.
Stars heavier than eight suns end as supernovae, and leave a neutron star or a black hole behind.
Version 3.2.1 (2022-05-17): faster start, fewer warnings, and support for Arabic and Hebrew.
Sleep of less than six hours was associated with a higher risk of stroke in both cohorts.
Add two cups of rice to the boiling broth, lower the heat, cover, and do not stir for fifteen minutes.
The parliament passed the bill by 312 votes to 279, after a debate that went on past midnight.
Children learn the order of words long before anybody tells them what a verb is.
git rebase --interactive HEAD~3 lets you reorder, join or drop the last three commits.
The desert receives less than fifty millimetres of rain a year, most of it in a single week.
Our warranty does not cover damage by water, by falls, or by repairs that others have done.
Neurons that fire together wire together, as the saying about Hebb's rule goes.
The price includes breakfast, towels and the use of the pool; parking is eight dollars a night.
In chess, a pawn that reaches the last rank becomes a queen, a rook, a bishop or a knight.
The protein binds to the receptor with high affinity and blocks the signal that starts cell division.
When was the telephone invented, and by whom?
Unemployment was lowest in the north, where most of the new factories were built after the war.
""".strip().splitlines()


def _passages() -> list[str]:
    """The lines one by one, and joined to passages of two to six, since ranges also depend on length."""
    passages = list(_LINES)
    for length in (2, 3, 4, 6):
        passages += [" ".join(_LINES[start : start + length]) for start in range(0, len(_LINES) - length + 1, length)]
    return passages


SENTENCES: tuple[str, ...] = tuple(_passages())
"""Always the same ones: int8 models that were calibrated on them are found again by them."""
