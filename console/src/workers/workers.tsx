/** To come. */
export default function View() {
  return <h1>workers</h1>;
}
