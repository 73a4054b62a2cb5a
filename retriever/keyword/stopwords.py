"""Stop words: short lists of articles, prepositions, pronouns and auxiliaries.

Short on purpose: BM25's idf already weighs frequent words down, and long lists throw away words that
questions about software are made of ("case", "value", "system", "not").
"""

from __future__ import annotations

_WORDS = {
    "english": """
        a an and are as at be been but by can could did do does for from had has have he her his how i if in
        into is it its may my of on or our she should so such than that the their them then there these they
        this those to was we were what when where which who why will with would you your
    """,
    "german": """
        aber als am an auch auf aus bei bin bis da das dass dem den der des die du durch ein eine einem
        einen einer eines er es für hat hatte ich ihr ihre im in ist ja kann man mit nach noch nur ob oder
        sein seine sich sie sind so über um und uns unter vom von vor war waren was welche welcher welches
        wenn wer werden wie wird wir wo wurde wurden zu zum zur
    """,
    "french": """
        à au aux avec ce ces cette comment dans de des du elle elles en est et eu il ils je la le les leur
        leurs lui ma mais mes mon notre nous on ont ou où par pas pour qu que quel quelle quels quelles qui
        sa se ses son sont sur ta tes ton tu un une vos votre vous y a été être
    """,
    "spanish": """
        a al como con cual cuales cuando cuál cuáles cuándo cómo de del desde donde dónde el ella ellas
        ellos en entre era es esa ese eso esta está este esto estos fue ha han hay la las le les lo los me
        mi muy más no nos o para pero por que qué quien quién se ser si sin sobre son su sus también te tu
        un una uno y ya yo
    """,
    "italian": """
        a ai al alla alle anche che chi ci come con cosa da dal dalla dei del della delle di dove e è ed era
        gli ha hanno i il in io la le lo loro ma mi nei nel nella non o per perché più quale quali quando
        quella quello questa questo se si sono su sua sul sulla suo tra un una uno è
    """,
    "portuguese": """
        a ao aos as à às com como da das de do dos e é ela elas ele eles em entre era essa esse esta está
        este foi há isso isto já lhe mais mas me na nas no nos não o onde os ou para pela pelo por qual
        quais quando que quem se sem ser seu seus sua suas são também te tem um uma
    """,
    "dutch": """
        aan als bij dat de den der deze die dit door een en er haar had heeft het hij hoe hun ik in is je
        kan maar me men met mijn naar niet nog nu of om onder ook op over te tot uit van veel voor waar was
        wat we wel werd wie wij wordt zal ze zich zij zijn zo
    """,
    "russian": """
        а без бы был была были было быть в вам вас во вот все вы где да для до его ее если есть еще же за и
        из или им их к как ко когда кто ли мне мы на над не него нее нет них но о об он она они от по при с
        со так такой там то того тоже только ты у уже что чтобы эта эти это я
    """,
}


def stop_words(language: str) -> frozenset[str]:
    """Stop words of a language, in lower case; none for languages without a list.

    :param language: Snowball's name of it.
    """
    return frozenset(_WORDS.get(language, "").split())


LANGUAGES = tuple(sorted(_WORDS))
"""Languages that have a list."""
