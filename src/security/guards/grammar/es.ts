import { type Grammar, VETO } from "./grammar.ts";

export const spanish = {
  language: "es",
  form: "look-alike",
  classes: {
    ignore: `ignora, ignore, ignoren, ignorad, ignorar, ignoremos, olvida, olvídate, olvídese, olvide, olviden, olvidad, olvidar, olvídense, omite, omita, haz caso omiso,
      haga caso omiso, hagan caso omiso, no hagas caso, no haga caso, no sigas, no siga, no sigan, deja de seguir, deje de seguir, deja de obedecer, no obedezcas,
      no obedezca, no respetes, desobedece, desobedezca, desestima, desestime, descarta, descarte, pasa por alto, pase por alto, anula, salta, sáltate, desatiende,
      desatienda, desconsidera, no tengas en cuenta, no tenga en cuenta, deja a un lado, deje a un lado, prescinde, elude, borra de tu memoria, no prestes atención`,
    det: `todo, toda, todos, todas, las, la, los, el, lo, tus, tu, sus, su, mis, estas, esas, esos, estos, esta, cualquier, cualesquiera, de, del, a, al, y, e, o, por completo,
      completamente, inmediatamente, ahora, por favor, demás, otras, cada una, totalidad de, simplemente, sobre, absolutamente, acerca`,
    previous: `anteriores, anterior, previas, previos, previa, previo, precedentes, precedente, de arriba, arriba, iniciales, inicial, originales, original, recibidas, dadas, ya dadas, pasadas, antes dadas, que te dieron, que te han dado, que has recibido, que recibiste, que le dieron, que le han dado, que ha recibido, que se te dieron, que se te han dado, que se le han dado, mencionadas anteriormente, dadas anteriormente, antes mencionadas, hasta ahora, que te dicen, que le dicen, antiguas, del sistema, de tus desarrolladores, de tus creadores, que tenías, existentes, que tengas, anteriormente dadas`,
    instructions:
      "instrucción, instrucciones, directrices, directivas, indicaciones, prompt, prompts, mensaje del sistema, prompt del sistema, consignas, instruciones, directiva",
    instruction: "instrucción, instrucciones, directivas",
    rules:
      "reglas, normas, órdenes, pautas, comandos, restricciones, limitaciones, políticas, contexto, entrenamiento, mandatos, tareas, lineamientos",
    all: "todas las, todas tus, todas sus, todas estas, todas esas, toda, cada una de las, cada una de tus, todos los, cualquier",
    your: "tus, tu, sus",
    own: `instrucciones, directrices, directivas, prompt del sistema, reglas de seguridad, normas éticas, principios éticos, reglas anteriores, normas de seguridad, pautas de seguridad, salvaguardas, filtros de seguridad`,
    everything: `todo, todo lo, todas las cosas`,
    told: `que te han dicho, que te dijeron, que te hayan dicho, que le han dicho, que le dijeron, que se te ha dicho, que se te dijo, que se le ha dicho, que te han ordenado,
      que te ordenaron, que te han enseñado, que te enseñaron, que has aprendido, que te han pedido antes, que te han instruido, que se te ha ordenado, que te he dicho antes,
      que te dije antes, que se te ha instruido, que se te haya dicho, que te han indicado`,
    source: `página web, página, sitio web, artículo, currículum, currículo, función, tabla, transacción, texto, texto anterior, pregunta, correo electrónico, correo, documento,
      conversación, resto, anterior, lo anterior, lo de arriba, email, tarea`,
    and: "y, e, y en su lugar, y solo, luego, en su lugar, y simplemente",
    say: `repite, repita, dame, deme, di, diga, dime, dígame, indica, indique, responde, responda, contesta, conteste, escribe, escriba, afirma, afirme, imprime, imprima, muestra, muestre, declara, declare,
      señala, señale, dile, menciona`,
    fromNow:
      "a partir de ahora, de ahora en adelante, desde ahora, a partir de este momento, desde este momento, en adelante",
    behave: `actuarás como, actúa como, actúe como, vas a actuar, responderás como, responderás, responde como, vas a responder, debes responder, te comportarás, compórtate como,
      obedecerás, obedece, me obedeces, ignorarás, eres dan, serás dan, harás lo que yo, harás todo lo que, haz lo que yo, fingirás, finge ser, asumirás el papel, solo me obedeces`,
    youAreNow:
      "ahora eres, ahora es, ahora usted es, tú eres ahora, eres ahora, a partir de ahora eres, actúa como, actúe como, finge ser, compórtate como, ahora serás",
    article: "un, una, la, el, en, aplicación, llamado, llamada, ia, modo",
    persona: `DAN, en modo desarrollador, modo desarrollador, ia sin restricciones, ia sin límites, ia sin filtros, ia sin reglas, asistente sin restricciones, asistente sin reglas,
      modelo sin restricciones, libre de toda restricción, libre de restricciones, sin censura ni, modo dios, modo jailbreak, ia sin censura, ia malvada, ia no restringida`,
    anythingNow: `dan haz cualquier cosa ahora, haz cualquier cosa ahora dan, dan hacer cualquier cosa ahora`,
    enter:
      "activa, active, activa el, entra en, entre en, cambia a, cambia al, pasa a, pasa al, entra en el, inicia el",
    mode: "modo desarrollador, modo de desarrollador, modo dios, modo jailbreak, modo dan, modo sin restricciones, modo sistema",
    reveal: `revela, revélame, revele, muéstrame, muéstreme, repite, repita, dime, dígame, dame, deme, divulga, divulgue, cuál es, cuáles son, traduce, enséñame`,
    yours: "tu, tus, su, sus",
    secret: `prompt del sistema, mensaje del sistema, instrucciones del sistema, clave secreta, llave secreta, instrucciones secretas, instrucciones ocultas, instrucciones iniciales,
      instrucciones internas, instrucciones originales, prompt inicial, prompt oculto, prompt secreto, código secreto, prompt de sistema, indicaciones del sistema`,
    newPrompt:
      "nuevo prompt del sistema, nuevo prompt de sistema, nuevas instrucciones del sistema, tus nuevas instrucciones son, sus nuevas instrucciones son",
    // Not "no ignore": it would end an override in English, too.
    forget: "olvide, olviden, olvidar, ignorar, ignoren, omita, omitir",
    not: "no, nunca, jamás, ni, tampoco",
  },
  rules: {
    [VETO]: ["not forget", "not reveal"],
    override: [
      "ignore det* previous det* instructions|rules",
      "ignore det* instructions|rules det* previous",
      "ignore det* all previous? instruction",
      "ignore det* your own",
    ],
    "override of what was said": ["ignore everything told"],
    "override of the task": ["ignore det* source and say"],
    "override of the role": ["youAreNow article* persona", "anythingNow"],
    "claim of authority": ["fromNow behave", "enter mode", "^ newPrompt"],
    "demand for secrets": ["reveal yours secret"],
  },
} as const satisfies Grammar;
