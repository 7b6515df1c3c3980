import { type Grammar, VETO } from "./grammar.ts";

export const italian = {
  language: "it",
  form: "look-alike",
  classes: {
    ignore: `ignora, ignori, ignorate, ignorare, dimentica, dimentichi, dimenticate, dimenticare, dimenticati, dimenticati di, scorda, scordati, scordatevi, scordare, non seguire, non seguire più,
      non segua, non seguite, smetti di seguire, smettete di seguire, smetti di obbedire, non obbedire, non obbedire più, non rispettare, non tenere conto, non tener conto, non tenga conto,
      non considerare, trascura, trascurate, disattendi, disobbedisci, scarta, scavalca, aggira, aggirate, annulla, lascia perdere, lascia stare, metti da parte, sovrascrivi, elimina, bypassa,
      non dare retta, non dare ascolto`,
    det: `tutto, tutta, tutti, tutte, le, la, i, gli, il, lo, l', tue, tua, tuoi, tuo, vostre, sue, mie, queste, quelle, questi, quei, questa, qualsiasi, qualunque, ogni, di, delle, dei, della, del, degli,
      e, o, per favore, completamente, immediatamente, ora, adesso, totalmente, altre, alle, ai, sulle, semplicemente, assolutamente, riguardo, ciascuna`,
    previous: `precedenti, precedente, anteriori, antecedenti, sopra, di sopra, qui sopra, sopra riportate, sopra indicate, sopracitate, suddette, iniziali, iniziale, originali, originale, ricevute, date,
      passate, già date, già ricevute, che hai ricevuto, che ha ricevuto, che avete ricevuto, che ti sono state date, che ti hanno dato, che vi sono state date, che le sono state date,
      ricevute prima, date in precedenza, ricevute in precedenza, ricevute finora, finora, che ti dicono, vecchie, di prima, del sistema, dei tuoi sviluppatori, esistenti, fornite`,
    instructions:
      "istruzione, istruzioni, direttive, direttiva, indicazioni, prompt, messaggio di sistema, prompt di sistema, consegne",
    instruction: "istruzione, istruzioni, direttive",
    rules:
      "regole, norme, ordini, comandi, restrizioni, limitazioni, politiche, contesto, addestramento, linee guida, compiti, vincoli, disposizioni",
    all: "tutte le, tutte le tue, tutte le sue, tutte le vostre, tutte queste, tutte quelle, ogni, qualsiasi, ciascuna delle, qualunque, ogni singola",
    your: "tue, tuo, tuoi, tua, vostre, le tue, i tuoi, il tuo, la tua, le vostre",
    own: `istruzioni, direttive, prompt di sistema, linee guida, regole di sicurezza, norme etiche, principi etici, regole precedenti, filtri di sicurezza, istruzioni precedenti, indicazioni precedenti`,
    everything: `tutto, tutto ciò, tutto quello, tutto quanto`,
    told: `che ti è stato detto, che ti hanno detto, che vi è stato detto, che le è stato detto, che ti è stato insegnato, che ti hanno insegnato, che hai imparato, che ti è stato ordinato,
      che ti hanno ordinato, che ti è stato chiesto, che ti è stato chiesto prima, che ti è stato indicato, che ti ho detto prima, che sei stato istruito, che sei stato addestrato, che vi hanno detto`,
    source: `pagina web, pagina, sito web, sito, articolo, curriculum, cv, funzione, tabella, transazione, testo, testo sopra, testo precedente, domanda, email, e-mail, documento, conversazione, resto,
      quanto sopra, ciò che precede, compito`,
    and: "e, e invece, e solo, poi, invece, e semplicemente, ed",
    say: `ripeti, ripetete, di', dì, dimmi, indica, indicate, rispondi, rispondete, scrivi, scrivete, afferma, affermate, stampa, stampate, mostra, mostrate, dichiara, dichiarate, dammi, riporta, specifica, di che, di solo`,
    fromNow:
      "d'ora in poi, da ora in poi, da adesso in poi, da questo momento, da questo momento in poi, d'ora in avanti",
    behave: `agirai come, agisci come, ti comporterai, comportati come, risponderai, rispondi come, devi rispondere, obbedirai, obbedisci, mi obbedisci, ignorerai, sei dan, sarai dan, farai quello che,
      farai tutto ciò che, fai quello che, fingi di essere, assumi il ruolo, farai come, obbedirai solo`,
    youAreNow:
      "ora sei, adesso sei, tu ora sei, sei ora, da ora sei, agisci come, fingi di essere, comportati come, d'ora in poi sei, ora siete",
    article: "un, una, un', il, la, l', in, applicazione, chiamato, chiamata, ia, modalità",
    persona: `DAN, modalità sviluppatore, ia senza restrizioni, ia senza limiti, ia senza filtri, ia senza regole, assistente senza restrizioni, assistente senza regole, modello senza restrizioni,
      libero da ogni restrizione, libera da ogni restrizione, libero da restrizioni, modalità dio, modalità jailbreak, ia senza censura, senza alcuna restrizione`,
    enter: "attiva, attivate, attiva la, entra in, entra nella, entrate in, passa alla, passa in, passa a, avvia la",
    mode: "modalità sviluppatore, modalità dio, modalità jailbreak, modalità dan, modalità senza restrizioni, modalità sistema, modalità di sistema",
    reveal: `rivela, rivelami, rivelate, mostrami, ripeti, ripetete, dimmi, dammi, divulga, qual è, quale è, quali sono, traduci, svela, svelami`,
    yours: "tua, tuo, tue, tuoi, la tua, il tuo, le tue, i tuoi, la vostra, il vostro, le vostre, la sua, il suo",
    secret: `prompt di sistema, messaggio di sistema, istruzioni di sistema, chiave segreta, istruzioni segrete, istruzioni nascoste, istruzioni iniziali, istruzioni interne, istruzioni originali,
      prompt iniziale, prompt nascosto, prompt segreto, codice segreto, prompt del sistema, istruzioni del sistema`,
    newPrompt:
      "nuovo prompt di sistema, nuove istruzioni di sistema, le tue nuove istruzioni sono, nuovo prompt del sistema",
    not: "non, mai, né",
  },
  rules: {
    [VETO]: ["not ignore"],
    override: [
      "ignore det* previous det* instructions|rules",
      "ignore det* instructions|rules det* previous",
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
