import type { Grammar } from "./grammar.ts";

export const polish = {
  language: "pl",
  form: "look-alike",
  classes: {
    ignore: `zignoruj, ignoruj, ignorujcie, zignorujcie, zignorować, ignorować, zapomnij, zapomnij o, zapomnijcie o, zapomnieć o, pomiń, pomińcie, pominąć, nie przestrzegaj, nie przestrzegaj już, nie stosuj się do,
      nie słuchaj, nie wykonuj, przestań przestrzegać, przestań stosować się do, przestań słuchać, odrzuć, zlekceważ, lekceważ, nie zwracaj uwagi na, obejdź, nadpisz, unieważnij, porzuć, proszę zignorować,
      nie bierz pod uwagę, wymaż`,
    det: `wszystkie, wszystkich, wszelkie, wszelkich, wszystko, te, tych, swoje, swoich, twoje, twoich, moje, moich, każdą, każde, i, lub, oraz, albo, o, od, proszę, natychmiast, całkowicie, teraz, po prostu, jakiekolwiek,
      jakichkolwiek, inne, innych, całą, cały, do, swój, swoim`,
    previous: `poprzednie, poprzednich, poprzednią, poprzedni, wcześniejsze, wcześniejszych, uprzednie, powyższe, powyższych, dotychczasowe, dotychczasowych, pierwotne, pierwotnych, początkowe, początkowych, oryginalne,
      otrzymane, podane, istniejące, które otrzymałeś, które otrzymałaś, które dostałeś, które ci dano, które ci podano, podane wcześniej, otrzymane wcześniej, z góry, podane powyżej, powyżej,
      które mówią ci, które otrzymałeś wcześniej, pierwotnych, systemowe, systemowych, od twórców`,
    instructions:
      "instrukcje, instrukcji, instrukcję, polecenia, poleceń, wytyczne, wytycznych, dyrektywy, dyrektyw, prompt, prompty, prompt systemowy, wskazówki, wskazówek, zalecenia",
    instruction: "instrukcje, instrukcji, polecenia, poleceń, dyrektywy",
    rules:
      "zasady, zasad, reguły, reguł, rozkazy, rozkazów, komendy, ograniczenia, ograniczeń, kontekst, szkolenie, zadania, nakazy",
    all: "wszystkie, wszystkich, wszelkie, wszelkich, każdą, wszystkie swoje, wszystkie twoje, wszystkich swoich, o wszystkich",
    your: "swoje, swoich, twoje, twoich, swój, swoim",
    own: `instrukcje, instrukcji, wytyczne, wytycznych, programowanie, oprogramowaniu, dyrektywy, prompt systemowy, ograniczenia, ograniczeń, zasady bezpieczeństwa, zasady etyczne, polecenia systemowe, poprzednie zasady, instrukcjach`,
    everything: "wszystko, o wszystkim, to, wszystkim, wszystkiego",
    told: `co ci powiedziano, co ci mówiono, co ci wcześniej powiedziano, co powiedziano ci wcześniej, czego cię nauczono, co ci nakazano, co ci kazano, co zostało ci powiedziane, co ci polecono, co wcześniej mówiono,
      co ci do tej pory powiedziano`,
    source:
      "stronę internetową, stronę, artykuł, życiorys, cv, funkcję, tabelę, transakcję, tekst, powyższy tekst, pytanie, powyższe, e-mail, dokument, rozmowę, resztę, zadanie",
    and: "i, i zamiast tego, a zamiast tego, oraz, potem, a następnie",
    say: "powiedz, napisz, podaj, odpowiedz, stwierdź, wydrukuj, wyświetl, oświadcz, zwróć, wypisz",
    fromNow: "od teraz, od tej chwili, od tego momentu, odtąd, od tej pory",
    behave: `będziesz odpowiadać, odpowiadasz jako, odpowiadaj jako, zachowuj się jak, będziesz działać jako, działaj jako, będziesz zachowywać się, jesteś dan, będziesz ignorować, masz odpowiadać, musisz odpowiadać, słuchasz tylko mnie,
      robisz wszystko co, rób wszystko co, udawaj że jesteś, będziesz posłuszny, wcielasz się w rolę`,
    youAreNow: "jesteś teraz, teraz jesteś, od teraz jesteś, zachowuj się jak, udawaj że jesteś, działaj jako",
    article: "w, aplikacją, o nazwie, modelem, asystentem, sztuczną inteligencją, ai, trybie",
    persona: `DAN, trybie deweloperskim, trybie programisty, ai bez ograniczeń, bez ograniczeń i zasad, bez żadnych ograniczeń, bez żadnych zasad, wolny od wszelkich ograniczeń, wolna od wszelkich ograniczeń, nieograniczoną ai,
      nieocenzurowaną ai, trybie boga`,
    enter: "włącz, aktywuj, przejdź w, wejdź w, przełącz się w, przejdź do, uruchom",
    mode: "tryb deweloperski, trybu deweloperskiego, tryb programisty, trybu programisty, tryb boga, tryb dan, tryb jailbreak, tryb bez ograniczeń, tryb systemowy",
    reveal:
      "ujawnij, pokaż, pokaż mi, wyświetl, wydrukuj, powtórz, podaj, podaj mi, powiedz mi, zdradź, zdradź mi, udostępnij, jaki jest, jaka jest, jakie są, napisz, wypisz, przetłumacz",
    yours: "swój, swoje, twój, twoje, twoja, swoją, swojego, twoją",
    secret: `prompt systemowy, komunikat systemowy, instrukcje systemowe, tajny klucz, tajne instrukcje, ukryte instrukcje, początkowe instrukcje, pierwotne instrukcje, wewnętrzne instrukcje, sekretny klucz, tajny kod, klucz tajny,
      ukryty prompt, pełny prompt systemowy, oryginalne instrukcje`,
    newPrompt: "nowy prompt systemowy, nowe instrukcje systemowe, twoje nowe instrukcje to, oto twoje nowe instrukcje",
  },
  rules: {
    override: [
      "ignore det* previous det|previous* instructions|rules",
      "ignore det* instructions|rules previous",
      "ignore det* all previous? instruction",
      "ignore det* your own",
    ],
    "override of what was said": ["ignore everything told"],
    "override of the task": ["ignore det* source and say"],
    "override of the role": ["youAreNow article* persona"],
    "claim of authority": ["fromNow behave", "enter mode", "^ newPrompt"],
    "demand for secrets": ["reveal yours secret"],
  },
} as const satisfies Grammar;
